"""The checks of lesson 01, one module an exercise."""
