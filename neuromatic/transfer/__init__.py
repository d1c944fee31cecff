"""What is done to models of others: new heads, lifted constants, added Dropout, what is trained."""
