"""Generation: questions in, preference pairs out, on any engine, resumable to the row."""
