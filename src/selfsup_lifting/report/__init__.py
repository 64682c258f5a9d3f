"""Reports: one page per run or recording, with everything in it."""
