// Takes what the drawer and the search of a waterfall show; draws nothing.

export default function ({ data }) {
  if (data) keepDetails(decoded(data))
}
