"""The engine of Earshot: no Streamlit in here, and torch only where it is needed."""
