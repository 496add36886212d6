"""History from files: bars that others recorded, checked line by line and put into QuestDB."""
