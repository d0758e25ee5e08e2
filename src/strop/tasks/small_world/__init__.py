"""A small world in English and Chinese: stories and facts to pretrain on, questions about the facts, everyday talk.

What a model can learn within minutes, for recipes that begin with nothing. Everything is drawn from a seed, and what is
measured is not trained on: stories of draws of their own, and facts that stand in texts but are asked in no
conversation.
"""
