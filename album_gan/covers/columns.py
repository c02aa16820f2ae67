"""Under which names the columns of a table hold covers and what is known of them."""

IMAGE_COLUMNS = ("image", "img", "cover", "picture", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
METADATA_COLUMNS = {
    "genre": ("genre", "label", "genres", "style", "class", "cls"),
    "artist": ("artist", "artist_name", "performer", "band"),
    "title": ("title", "album", "album_name", "album_title", "release", "name"),
    "year": ("year", "release_year", "date", "release_date"),
}
LABEL_COLUMNS = METADATA_COLUMNS["genre"]  # where `label_column="auto"` searches, in this order
