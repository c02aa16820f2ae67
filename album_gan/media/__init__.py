"""Reading and writing picture and video files."""
