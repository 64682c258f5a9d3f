"""2D tracks of people from videos: the videos, a pose detector, and the tables it fills."""
