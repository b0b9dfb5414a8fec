"""`POST /api/predict`: where the price goes in the next minute, and how often such answers were right."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from exchange_ref.market.predictor import Predictor, Question
from exchange_ref.market.price_models import Model, Score
from exchange_ref.services.api.market_routes import find_pair
from exchange_ref.services.api.models import ErrorReply
from exchange_ref.services.api.server_spans import SPAN_KEY
from exchange_ref.services.api.user import UserId

PREDICT_PATH = "/api/v1/predict"
NOT_READY = "The pair has too few minutes for a model, or its models are being fitted: ask again later."
Finite = Annotated[float, Field(allow_inf_nan=False, le=1e15)]


class PredictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pair: str = "BTC/USD"
    model: Model = Model.FOREST
    current_price: Annotated[Finite, Field(gt=0)]
    volume_24h: Annotated[Finite, Field(ge=0)]
    rsi: float = Field(ge=0, le=100)


class PredictReply(BaseModel):
    pair: str
    model: Model
    direction: Literal["UP", "DOWN"]
    move_percent: float
    predicted_price: float
    horizon_s: int = 60
    score: Score
    beats_baseline: bool


def predict_routes(predictor: Predictor) -> APIRouter:
    router = APIRouter()

    @router.post(PREDICT_PATH, responses={503: {"model": ErrorReply, "description": NOT_READY}})
    async def post_predict(body: PredictRequest, user_id: UserId, request: Request) -> PredictReply:
        pair, span = find_pair(body.pair), request.scope[SPAN_KEY]
        span.set_attributes({"user.id": user_id, "order.pair": pair.symbol, "predict.model": body.model})
        question = Question(pair, body.model, body.current_price, body.volume_24h, body.rsi)
        move_percent, score = await predictor.predict(question, span)
        return PredictReply(
            pair=pair.symbol,
            model=body.model,
            direction="UP" if move_percent > 0 else "DOWN",
            move_percent=move_percent,
            predicted_price=body.current_price * (1 + move_percent / 100),
            score=score,
            beats_baseline=score.error_percent < score.baseline_error_percent,
        )

    return router
