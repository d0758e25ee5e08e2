"""Configurations of other programs made into recipes: ``strop import``.

One file for each program (`Program`, in a registry): a table of its settings, each with strop's own or the reason why
there is none, its defaults, and what one setting cannot say alone (batches, data, masks). `Draft` keeps the account:
what was mapped to what, and what was not.
"""
