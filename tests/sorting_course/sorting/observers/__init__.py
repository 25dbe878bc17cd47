"""What runs beside a student's code, one module a lesson; nothing here knows what is right."""
