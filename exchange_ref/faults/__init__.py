"""Things that go wrong on purpose, each really happening, with their truth kept outside the spans."""
