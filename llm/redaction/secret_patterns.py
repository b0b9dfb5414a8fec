"""Patterns of secrets in free text: ordered rules, each with the replacement of its match.

The order matters. First come secrets with a form of their own (a PEM block, a JWT), then those recognised by
the word beside them (`password=`), then those recognised by their digits alone (cards, phone numbers).
"""

# ruff: noqa: E501 - a pattern is easier to read on one line
from __future__ import annotations

import base64
import re
from collections.abc import Callable
from itertools import pairwise

from llm.redaction.secret_checks import (
    is_hex_secret,
    is_iban,
    is_ip,
    is_mixed_token,
    is_numbered_seed,
    is_payment_card,
    is_seed_phrase,
)

Rule = tuple[re.Pattern[str], "str | Callable[[re.Match[str]], str]"]

# "Password" in the languages that are most frequent in error messages and forms.
_OTHER_LANGUAGES = (
    "kennwort|mot de passe|contrase(?:ñ|n)a|clave(?: de acceso| secreta| api)?|senha|wachtwoord|lösenord|adgangskode|salasana|hasło"
    "|(?:geheimer?|privater?|api)[ -]schlüssel|cl(?:é|e) (?:secr(?:è|e)te|priv(?:é|e)e|api)|jeton|токен|密钥|令牌"
    "|chiave (?:segreta|privata|api)|chave (?:secreta|privada|(?:de |da )?api)|(?:секретный|приватный) ключ"
    "|heslo|jelszó|parol[ae]?|şifre|пароль|密码|密碼|パスワード|비밀번호|mật khẩu|كلمة المرور|סיסמה"
)
_KEY_WORD = (
    r"(?:pass(?:wor[dt]|wd|[ _-]?phrase|code)|pwd|(?<![a-z])(?:pass|pw|psk)|secret[ _-]?key[_-]base|secret(?:[ _-]?(?:access[ _-]?)?(?:key|id))?|token"
    r"|(?:api|access|account|private|signing|encryption|auth|subscription|shared(?:[ _-]?access)?|licen[cs]e|activation)[ _-]?key"
    r"|(?:proxy-)?authorization|(?<![a-z])auth|set-cookie|cookie|credential|(?:j|php)?sess(?:ion)?[ _-]?id"
    rf"|{_OTHER_LANGUAGES}"
    r"|session[ _-]?(?:key|token)|(?<![a-z])session|connect\.sid|(?<![a-z])sid|mnemonic|csrf)s?"
)
# What follows such a word in ordinary messages: a state, or the noun that the word describes.
_STATES = (
    "a|accepted|added|already|an|and|are|as|at|attempts?|authentication|authenticated|bad|be|been|being|blank"
    "|bucket|but|by|can|cannot|change|changed|changes|check|checks|consent|could|created|deleted|denied"
    "|disabled|does|due|empty|encoded|endpoint|error|errors|exists|expected|expires?|expired|expiry|failed"
    "|failure|false|field|file|for|format|found|from|generated|had|has|hash|have|hint|id|if|in|incorrect"
    "|invalid|is|issued|lacks|length|limit|lookup|malformed|manager|may|mismatch|missing|must|name|needed|nil|no"
    "|none|not|now|null|of|ok|on|optional|or|parameter|parsing|policy|present|prompt|provider|refresh|refused"
    "|rejected|request|requested|required|requires?|reset|reused|revoked|rotated|rotation|rules?|service|set|should"
    "|scheme|server|store|stored|strength|the|timed|timeout|to|too|true|type|unchanged|undefined|unexpected|unknown|unset"
    "|updated|used|valid|validation|value|verification|verified|via|violated|was|weak|were|when|will|with|without"
    "|wrong|yes"
)
_IS_STATE = rf"(?:{_STATES})\b(?![-!#$@_=])"
_VALUE_END = r"(?=\s*(?:[,;&\n})\]]|\s(?:for|from|in|at|on|to|was|is|by|user|expired|failed|rejected|refused|denied)\b|$))"
_QUOTED = (
    r"\\+\"[^\"]*(?:\"|$)|\\+'[^']*(?:'|$)"  # quotes of JSON within JSON
    r"|\"(?:[^\"\\]|\\.)*(?:\"|$)|'(?:[^'\\]|\\.|'')*(?:'|$)"
)
_WORDS = rf"[^\s,;&<>\"']+(?:\s(?![\w.-]+\s*[=:])[^\s,;&<>\"']+){{0,7}}?{_VALUE_END}|[^\s,;&<>]+"
_LOOKS_SECRET = r"(?=[^\s,;]*\d)(?=[^\s,;]*[A-Za-z])[^\s,;:()]{5,}(?::[^\s,;()]+)?"  # noqa: S105 - a pattern
_SKIP = r"(?!\[redacted)"


def _mark(kind: str, group: int = 0) -> Callable[[re.Match[str]], str]:
    """Replaces the group, and keeps the rest of the match."""

    def replace(match: re.Match[str]) -> str:
        start, end = (edge - match.start() for edge in match.span(group))
        whole = match.group()
        return f"{whole[:start]}[redacted:{kind}]{whole[end:]}"

    return replace


def _checked(kind: str, check: Callable[[str, str], bool], group: int = 0) -> Callable[[re.Match[str]], str]:
    """As `_mark`, where `check(found, text before it)` holds."""
    mark = _mark(kind, group)

    def replace(match: re.Match[str]) -> str:
        before = match.string[max(0, match.start(group) - 40) : match.start(group)]
        return mark(match) if check(match.group(group), before) else match.group()

    return replace


def _re(pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(pattern, flags)


_EXACT = re.NOFLAG

_KNOWN_FORMS: tuple[Rule, ...] = (
    (
        _re(r"-----BEGIN [^-]{0,40}-----.*?(?:-----END [^-]{0,40}-----|\Z)", re.DOTALL),
        _mark("key"),
    ),
    (_re(r"\beyJ[\w-]{5,}(?:\.[\w-]*){0,4}", _EXACT), _mark("token")),
    (_re(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{6,}(?:%2F[\w%]*)?", _EXACT), _mark("key")),
    (
        _re(
            r"\b(?:(?:sk|pk|rk)[-_](?=[\w-]*\d)[\w-]{12,}|(?:ghp|gho|ghs|ghu|ghr|github_pat|glpat|xox[abeoprs]|hf"
            r"|npm|pypi|shp(?:at|ca|pa|ss)|dop_v1|hvs|hvb|sq0[a-z]{3}|whsec|rubygems)[-_.][\w-]{12,}|AIza[\w-]{20,}"
            r"|ya29\.[\w-]{10,}|SG\.[\w-]{10,}\.[\w-]{10,}|dapi[0-9a-f]{32}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
            r"|[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,40}|HRKU-[\w-]{20,}|NR(?:AK|JS|II|RA)-\w{16,}|(?<![\w-])SK[0-9a-f]{32}|(?<![\w-])key-(?=[a-z]*\d)[0-9a-z]{32}|(?:bot)?\d{8,10}:[\w-]{30,})",
            _EXACT,
        ),
        _mark("key"),
    ),
    (
        _re(r"\$(?:2[abxy]?|argon2\w*|[156y]|scrypt|pbkdf2[\w-]*)\$[^\s:'\",]{8,}(?:,[a-z]=[^\s:'\"]+)?"),
        _mark("hash"),
    ),
    (_re(r"\bSharedAccessSignature=([^\s;]+)"), _mark("token", 1)),
    (_re(r"(?<=:thin:)\w+/[^\s@]+@"), _mark("credentials")),
    (_re(r"(?<=hooks\.slack\.com/services/)[\w/]+"), _mark("token")),
    (_re(r"/(?:in|incoming)?-?webhooks?/((?=\S*\d)[\w@/.-]{20,})"), _mark("token", 1)),
    (_re(r"(?<=://)[^\s/?#]*:[^\s/]*@|(?<=://)[^\s/@?#]{1,200}@"), _mark("credentials")),
    (_re(r"(?<![\w/.:@\[-])[\w.-]{1,64}:([^\s:@/]{1,128})@(?=[\w.(\[])"), _mark("credentials", 1)),
)

_BESIDE_A_WORD: tuple[Rule, ...] = (
    # <password …>value</password>, also with a namespace; a text that was cut has no closing tag.
    (
        _re(rf"(?:<|&lt;)(?:\w+:)?[\w.-]{{0,30}}{_KEY_WORD}(?:\s[^<>&]*)?(?:>|&gt;){_SKIP}([^<]+?)(?:<|&lt;|$)"),
        _mark("secret", 1),
    ),
    # Headers: the whole line. "Authorization: missing" is a message, not a header.
    (
        _re(rf"\b(?:proxy-)?authorization\b[\"']?\s*[=:]\s*+[\"']?+(?!{_IS_STATE})({_SKIP}[^\n\"'}}]+(?:\"[^\"]*\"[^\n\"'}}]*)*)"),
        _mark("secret", 1),
    ),
    (_re(rf"\b(?:set-)?cookies?\s*[:=]\s*+(?!{_IS_STATE})({_SKIP}[^\n]+)"), _mark("secret", 1)),
    (_re(rf"\b(?:bearer|basic)\s++(?!{_IS_STATE}|of\b|plan\b)({_SKIP}(?=\S*[\d=.+/A-Z])[\w.~+/=-]{{6,}})"), _mark("token", 1)),
    # Command lines.
    (
        _re(rf"(?<!\S)-{{1,2}}[\w.-]{{0,60}}?{_KEY_WORD}(?:=|[\"',]*\s++[\"']?+)(?!-|{_IS_STATE})({_SKIP}{_QUOTED}|[^\s\"',;]+(?:(?<=['\"])\s[^'\"]*)?)"),
        _mark("secret", 1),
    ),
    (_re(rf"(?<!\S)--[\w.-]{{0,60}}?{_KEY_WORD}(?:=|\s+)({_QUOTED})"), _mark("secret", 1)),
    (_re(rf"\bpass:({_SKIP}[^\s\"',;]+)"), _mark("secret", 1)),
    (_re(r"(?<!\S)(?:-u|--user)[ =][^\s:\[]+:([^\s\[]\S*)"), _mark("secret", 1)),
    (_re(r"\b(?:sshpass|docker login|plink|unzip|zip|7z)\b[^\n|;]*?\s-[pP]\s+([^\s-]\S*)", _EXACT), _mark("secret", 1)),
    (_re(r"\bredis-cli\b[^\n|;]*?\s-a\s+(\S+)", _EXACT), _mark("secret", 1)),
    (_re(r"\b(?:mysql\w*|mariadb\S*)\b[^\n|;]*?\s-p(?!\s)(\S+)", _EXACT), _mark("secret", 1)),
    (_re(r"(?<!\S)-p(?=[^\s=]*[\dA-Z])(?![\d:./-]+(?:\s|$))([^\s=/]{4,})(?!\S)", _EXACT), _mark("secret", 1)),
    # Queries and paths of URLs.
    (
        _re(
            rf"[?&;](?:[\w.-]{{0,40}}{_KEY_WORD}|sig|signature|x-(?:amz|goog)-(?:signature|credential)|key|code|state"
            rf"|otp|nonce)=({_SKIP}[^\s&#;\"'<>]+)"
        ),
        _mark("secret", 1),
    ),
    (_re(rf"(?<!\S)(?:sig|signature)=({_SKIP}[^\s&;\"'<>]+)"), _mark("secret", 1)),
    # key=value, key: value, "key": "value", key => value. Counted tokens ("max_tokens=4000") are no secret.
    (
        _re(rf"(?<![A-Za-z0-9])[\w.-]{{0,40}}?{_KEY_WORD}\b\\*[\"'\]]?(?:\s+(?:for|of)(?:\s+user)?\s+[^\s:=]+)?\s*(?>=>|:=|->|→|[=:]|%3[AD])\s*+({_SKIP}(?:{_QUOTED}|{_WORDS}))"),
        lambda match: _assigned(match),  # noqa: PLW0108 - defined below
    ),
    # The same, encoded as in a URL: %22password%22%3A%22…%22.
    (
        _re(
            rf"{_KEY_WORD}(?:%22|%27|%5D)*(?:%3[AD]|=)(?:%20|\+)*(?:%22|%27)?({_SKIP}[^\s&%\"']+"
            r"(?:%(?!2[267C]|7D|3B)[0-9A-F]{2}[^\s&%\"']*)*)(?=%|&|\s|$)"
        ),
        lambda match: _assigned(match),  # noqa: PLW0108 - defined below
    ),
    # "the password is …", "password for bob was …", "password changed to …".
    (
        _re(
            rf"\b{_KEY_WORD}(?:\s+(?:for|of)(?:\s+user)?\s+\S+)?\s+(?:is|was|ist|war|lautet|est|es|è|é|jest|(?:(?:is|was)\s+)?(?:changed|set|reset|updated)\s+to|(?:is|was)\s+now)"
            rf"\s*:?\s++(?!{_IS_STATE})({_SKIP}(?:{_QUOTED}|{_WORDS}))"
        ),
        _mark("secret", 1),
    ),
    # "password hunter2secret": a word that looks like a secret, or any word that was entered.
    (_re(rf"(?:\b|(?<=_)){_KEY_WORD}\s++(?!{_IS_STATE}\s)({_SKIP}{_LOOKS_SECRET})"), _mark("secret", 1)),
    (_re(rf"\b(?:password|passphrase|passcode|passwd|pwd|identified by)\s+({_QUOTED})"), _mark("secret", 1)),
    (_re(rf"\bpassphrase\s+({_SKIP}\w+(?:-\w+){{2,}})"), _mark("secret", 1)),  # "correct-horse-battery"
    (_re(rf"\blogin\s+\S+\s+password\s++(?!{_IS_STATE})({_SKIP}\S+)"), _mark("secret", 1)),  # .netrc
    (_re(rf"\bpass(?:word|phrase|code)\s+from\s+({_SKIP}{_LOOKS_SECRET}\s+to\s+\S+)"), _mark("secret", 1)),
    (_re(rf"\b(?:log[io]n|sign-?in|auth\w*)\b[^\n]{{0,30}}?\bwith\s+[\w.@-]+:({_SKIP}{_LOOKS_SECRET})"), _mark("secret", 1)),
    (_re(rf"\b(?:recovery|backup|scratch)[ _-]codes?\s*[:=]\s*({_SKIP}(?=\S*\d)[^\n]+)"), _mark("code", 1)),
    # An environment's name behind the word: db_passwd_prod=…
    (
        _re(rf"(?:passwor[dt]|passwd|pwd|secret)[_-](?:prod\w*|dev\w*|test\w*|stag\w*|live|uat|main|new|old|db|root|admin|\d+)[\"']?\s*[:=]\s*({_SKIP}[^\s,;&]+)"),
        _mark("secret", 1),
    ),
    # A name beside its value: <add key="ApiKey" value="…"/>, {"name": "password", "value": "…"}.
    (_re(rf"{_KEY_WORD}[\"']\s*,?\s*[\"']?value[\"']?\s*[:=]\s*[\"']({_SKIP}[^\"']+)"), _mark("secret", 1)),
    # Values of a statement that writes such a column: which one it is, only a parser of SQL knows.
    (_re(rf"\binsert\s+into\s+[^\s(]+\s*\([^)]*{_KEY_WORD}[^)]*\)\s*values\s*({_SKIP}\(.+)"), _mark("secret", 1)),
    (_re(rf"\bcommunity(?:\s+string)?\s*[:=]?\s+({_SKIP}{_LOOKS_SECRET})"), _mark("secret", 1)),  # SNMP
    (
        _re(
            rf"\b{_KEY_WORD}\s+(?:entered|given|typed|sent|supplied|provided|received|used|eingegeben|saisi|reçu|introducid[ao]|inserit[ao])"
            rf"\s*[:=]\s*+(?!{_IS_STATE})({_SKIP}[^\s,;]{{4,}})"
        ),
        _mark("secret", 1),
    ),
    (_re(r"\bprivate-lines:\s*\d+\s+(?!\[)(\S[\w+/=\s]+)"), _mark("key", 1)),
    (
        _re(rf"\b(?:with|using|tried|entered|my|his|her|their)\s+(?:the\s+)?(?:password|passphrase|passcode)\s++(?!{_IS_STATE}|disabled)({_SKIP}[^\s,;:()]{{4,}})"),
        _mark("secret", 1),
    ),
    (
        _re(
            r"\b(?:pin(?: code)?|cvv2?|cvc2?|otp|passcode|one[- ]time (?:code|password)|(?:verification|security|2fa|mfa|login|your) code)"
            r"\b(?:\s+(?:is|was))?[\s:=#]*(?<=[\s:=#])(\d{3}[ -]\d{3}|\d{3,8})\b"
        ),
        _mark("code", 1),
    ),
    (
        _re(r"\b(?:seed|recovery|backup|mnemonic)(?:\s+(?:phrase|words?))?(?:\s+is)?\s*[:=]?\s+((?:[a-z]{3,8}(?:,\s*|\s+|-)){11,23}[a-z]{3,8})\b"),
        _mark("secret", 1),
    ),
    (
        _re(
            r"\b(?:passport|aadhaar|cpf|cnpj|nhs|nino|national (?:id|insurance)|tax(?:payer)? (?:id|number)|driv(?:er'?s|ing) licen[cs]e"
            r"|dni|bsn|pesel|personnummer|steuer-?id)(?:\s+(?:no\.?|number|nr\.?))?(?:\s+(?:is|was))?[\s:=#]*(?<=[\s:=#])"
            r"((?=(?:[\w ./-]*?\d){5})[A-Z0-9][A-Z0-9./-]*(?: [A-Z0-9./-]*\d[A-Z0-9./-]*)*(?: [A-D]\b)?)"
        ),
        _mark("id", 1),
    ),
    (
        _re(r"\b(?:born(?: on)?|dob|d\.o\.b\.|date of birth|birth ?da(?:y|te))\b[\s:=]*(\d{1,4}[-./]\d{1,2}[-./]\d{1,4})(?!\d)"),
        _mark("birthday", 1),
    ),
)  # fmt: skip

_BANK: tuple[Rule, ...] = (
    (
        _re(
            r"\b(?:(?:account|routing)\s+(?:number|no\.?)[\s:=#]*(?<=[\s:=#])(?=\d{6})"
            r"|sort\s*code[\s:=]*(?=\d\d[- ]?\d\d[- ]?\d\d\b))(\d[\d -]{4,15}\d)\b"
        ),
        _mark("account", 1),
    ),
)

_PHONE_UNITS = r"(?! ?(?-i:ns|ms|us|[µμ]s|s|min|bytes|[kMG]?i?B|USD|EUR|BTC|rows|of)\b)"
_DIGITS: tuple[Rule, ...] = (
    (_re(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"), _checked("iban", lambda found, _: is_iban(found))),
    # In groups of four; a word in capitals after it may look like one more group.
    *(
        (_re(rf"\b[A-Z]{{2}}\d{{2}}(?:[ -][A-Z0-9]{{4}}){{{n}}}{rest}\b"), _checked("iban", lambda found, _: is_iban(found)))
        for n in (7, 6, 5, 4, 3, 2)
        for rest in ("[ -][A-Z0-9]{1,3}", "")
    ),
    (
        _re(r"\b(?:ssn|social security(?: number| no\.?)?)\b[\s:=#]*(?:is\s+)?(\d{3}[ -]?\d{2}[ -]?\d{4})\b"),
        _mark("ssn", 1),
    ),
    (_re(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"), _mark("ssn")),
    (_re(r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w.])"), _checked("card", is_payment_card)),
    (
        _re(
            r"\b(?:tele(?:phone|fon)|(?:tele|mobile|cell)?\s?phone|mobile|tel|fax|whatsapp|sms to|call|dial|contact)\b(?:\s+(?:number|no\.?))?"
            r"(?:\s+is)?[\s:=]*(?<=[\s:=])(\+?\(?\d[\d ().-]{6,18}\d)\b" + _PHONE_UNITS
        ),
        _mark("phone", 1),
    ),
    (_re(r"(?<![\w+.])\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}(?![\w-])" + _PHONE_UNITS), _mark("phone")),
    (_re(r"(?<![\w(])\([2-9]\d{2}\) ?\d{3}-\d{4}\b|(?<![\w.-])[2-9]\d{2}([-.])\d{3}\1\d{4}(?![\w.-])"), _mark("phone")),
    (_re(r"(?<![\w.,+-])0[1-9]\d{1,3}[ /-]\d{3,4}[ -]?\d{3,5}(?![\w.-])" + _PHONE_UNITS), _mark("phone")),
    (_re(r"(?<![\w.,+-])0\d(?: \d{2}){4}(?![\w.-])"), _mark("phone")),
)  # fmt: skip

_ADDRESSES: tuple[Rule, ...] = (
    (_re(r"(?<![\w:-])(?:[0-9a-f]{2}[:-]){5,31}[0-9a-f]{2}(?![\w:-])"), _mark("mac")),
    (_re(r"(?<![\w.])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![\w.])"), _mark("mac")),
    (
        _re(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{0,4}|(?:\d{1,3}\.){3}\d{1,3})(?![\w:])"),
        _checked("ip", lambda found, _: is_ip(found)),
    ),
    (
        _re(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)"),
        _checked("ip", lambda found, before: is_ip(found) and not re.search(r"version\s*$", before, re.I)),
    ),
    (_re(r"\b(?:user(?:name)?|e?mail|login|account)[\"']?\s*[=:]?\s*[\"']?([\w.%+-]{1,64}@[\w-]{1,63})(?![\w.-])"), _mark("email", 1)),
    (_re(r"[\w.%+-]{1,64}@(?:localhost\b|[\w-]{1,63}(?:\.(?!png|jpe?g|gif|svg|webp)[\w-]{1,63})+)"), _mark("email")),
    (_re(r"(?<![\w}])((?:(?<!GET )(?<!POST )(?<!PUT )(?<!HEAD )(?<!PATCH )(?<!DELETE )/home|(?<!GET )(?<!POST )/Users)/)(?!\[redacted)([\w.-]+)(?=[/\s\"':,)]|$)", _EXACT), _mark("user", 2)),
    (_re(r"\b[A-Z]:\\+Users\\+([\w .-]+?)(?=\\|$|[\"'])"), _mark("user", 1)),
    (_re(r"(?<![\w/])~([\w.-]+)(?=/)"), _mark("user", 1)),
)  # fmt: skip

_SPACED: tuple[Rule, ...] = (
    # "p a s s w o r d hunter2", "P-A-S-S-W-O-R-D: …": the letters spell a word of the list above.
    (
        _re(r"(?<![^\W_])((?:[A-Z]([ ._-]))(?:[A-Z]\2){2,}[A-Z])(?![^\W_])\s*[:=]?\s*(?:is\s+)?(\S+)"),
        lambda match: _spelled(match),  # noqa: PLW0108 - defined below
    ),
)  # fmt: skip

_LONG_VALUES: tuple[Rule, ...] = (
    (_re(r"(?<![\w-])(?:0x)?[0-9a-f]{32,}(?![\w-])"), _checked("token", is_hex_secret)),
    (_re(r"\b(?=[A-Z]*[2-7])[A-Z2-7]{16,}={0,6}(?!\w)", _EXACT), _checked("token", lambda found, _: _has_base32_spread(found))),
    (_re(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w=])", _EXACT), _checked("token", lambda found, _: _hides_a_secret(found))),
    (_re(r"(?<![\w/+.-])[\w+/-]{24,}={0,2}(?![\w.])", _EXACT), _checked("token", is_mixed_token)),
    (_re(r"\b(?:[a-z]{3,8} ){11,47}[a-z]{3,8}\b", _EXACT), _checked("secret", lambda found, _: is_seed_phrase(found))),
    (_re(r"(?<![\w.])1[.):]? ?[a-z]{3,8}(?:[,;]?\s+\d{1,2}[.):]? ?[a-z]{3,8}){11,23}\b"), _checked("secret", lambda found, _: is_numbered_seed(found))),
)  # fmt: skip

# Each set of rules has a hint. Most texts contain no hint, and then no rule is tried. 400 characters of a
# usual error cost 2.1 ms without hints and 0.25 ms with them.
RULES: tuple[tuple[re.Pattern[str], tuple[Rule, ...]], ...] = (
    (_re(r"[\w-]{15}|\$\w+\$|webhook|SharedAccess|@|://|-----|eyJ|A[KSRI][IRO]A", _EXACT), _KNOWN_FORMS),
    (
        _re(
            rf"{_OTHER_LANGUAGES}|identified by|private-lines|aadhaar|cpf|cnpj|nhs|nino|national|tax|dni|bsn|pesel|personnummer"
            r"|steuer|born|birth|dob|d\.o\.b|pass|pwd|pw|psk|community|licen|log[io]n\b|sign-?in\b|secret|token|key|auth|cookie|credential|sess|sid|mnemonic|csrf|sig|bearer|basic|code|state|otp"
            r"|nonce|pin|cv[vc]|seed|recovery|backup|\s--?[upa]|^-"
        ),
        _BESIDE_A_WORD,
    ),
    (_re(r"(?:account|routing)\s+n|sort\s*code"), _BANK),
    (_re(r"(?:\d\D*+){7}", _EXACT), _DIGITS),
    (_re(r"(?:[a-z][ ._-]){4}[a-z](?![a-z])"), _SPACED),
    (_re(r"\d\.\d|[0-9a-f:-]{5}|[0-9a-f]{4}\.|@|home|Users|~"), _ADDRESSES),
    (_re(r"[\w+/=-]{16}|(?:[a-z]{3,8} ){11}|1[.):]? ?[A-Za-z]{3}", _EXACT), _LONG_VALUES),
)

_STATE_VALUE = re.compile(rf"[\"']?(?:{_IS_STATE}(?!'')|-?$)", re.IGNORECASE)
_PARSER = re.compile(r"unexpected\s$", re.IGNORECASE)
_COUNTED = re.compile(
    r"(?:token|session|cookie|credential|secret)s[\"'\\]*\s*(?:=>|:=|->|→|[=:])\s*[\d.,]+(?:[})\]]*$|\s+[a-z]+\b(?!\S*\d))",
    re.IGNORECASE,
)


def _assigned(match: re.Match[str]) -> str:
    """A state ("token: expired") is a message, a token count a figure, an "unexpected token" is a parser's."""
    value = match.group(1)
    before = match.string[max(0, match.start() - 12) : match.start()]
    if _COUNTED.search(match.group()) or _STATE_VALUE.match(value) or _PARSER.search(before):
        return match.group()
    return _mark("secret", 1)(match)


def _spelled(match: re.Match[str]) -> str:
    """The text after letters that spell a word for a secret."""
    letters = match.group(1).replace(match.group(2), "")
    is_key = re.fullmatch(_KEY_WORD, letters, re.IGNORECASE) and not _STATE_VALUE.match(match.group(3))
    return _mark("secret", 3)(match) if is_key else match.group()


_HIDDEN = re.compile(rf"{_KEY_WORD}\b[\"']?\s*[=:]\s*[\"']?\S{{3,}}", re.IGNORECASE)


def _hides_a_secret(found: str) -> bool:
    """Whether base64 of text assigns a secret: `cGFzc3dvcmQ9aHVudGVyMg==` is "password=hunter2"."""
    body = found.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except ValueError:  # also UnicodeDecodeError: no text
        return False
    return _HIDDEN.search(text) is not None


def _has_base32_spread(found: str) -> bool:
    """Whether digits are inside, not only at the end: a constant with a version number is no secret."""
    body = found.rstrip("=")
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(body))
    return changes >= 2
