"""The data pillar: from whatever the user has to versioned, checked, traceable tables."""
