"""What teachers say of an answer's tokens: distributions to match, and facts to weigh them by."""
