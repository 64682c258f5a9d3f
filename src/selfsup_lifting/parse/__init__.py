"""Values out of files, or one sentence that says what is wrong and where."""
