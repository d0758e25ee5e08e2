"""What leaves strop: models as others load them, each with a card, and prompts as verl reads them: ``strop export``."""
