"""What a student plays with, one module an idea of this course."""
