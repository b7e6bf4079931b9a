"""What a file says of its picture, read from its header alone; never trusted with an allocation."""
