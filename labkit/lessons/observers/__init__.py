"""What runs beside the student's code, one module a lesson; nothing here knows what is right."""
