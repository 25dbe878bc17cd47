"""The checks of lesson 05, one module an exercise."""
