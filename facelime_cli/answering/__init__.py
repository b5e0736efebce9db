"""Models of the store made ready to answer: what runs each, what code it carries, what stands around it."""
