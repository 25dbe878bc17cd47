"""What is right: one folder a lesson, one module an exercise."""
