"""The use cases that several functions share. A use case of one function alone is in that function's folder."""
