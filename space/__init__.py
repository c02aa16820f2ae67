"""The page that shows a model to an audience. `app.launch` starts it; `page.py` is what people see."""
