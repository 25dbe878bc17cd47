"""The checks of lesson 04, one module an exercise."""
