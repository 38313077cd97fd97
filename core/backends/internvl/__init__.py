"""InternVL as a backend: it sees pages, says how well classes fit them, and answers questions about them.

`backend.py` joins the parts: the checkpoint (checkpoint.py), pages (page.py) cut into tiles (tiles.py), the vision
tower that sees them (tower.py), the chat around them (chat.py), many continuations of one prefix (lanes.py), the
likelihood of class names (likelihood.py), answers (generation.py), and beside all that a sentence encoder
(sentences.py). `conversion.py` makes native checkpoints of the original ones.
"""
