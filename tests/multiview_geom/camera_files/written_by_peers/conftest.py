"""The script that writes the files needs tools that the project does not."""

collect_ignore = ["write.py"]
