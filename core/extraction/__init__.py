"""The embedded reader: answers are pieces of the pages, found by a small trained network over what surrounds them.

A document's candidates (candidate.py) are prepared once, with their neighbours (layout.py), running text (passage.py)
and looks (shape.py), as a sheet (sheet.py); for each question the signals for each candidate (signals.py) are ranked
(ranker.py) beside the chance that the document does not hold the answer.
"""
