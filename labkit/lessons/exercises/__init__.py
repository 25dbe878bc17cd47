"""What is right: one folder a lesson, one module an exercise. Never beside a student's code in a jail."""
