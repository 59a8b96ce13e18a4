"""The pages of the app: one page, one file. `app.py` names them; the other modules here serve several of them."""
