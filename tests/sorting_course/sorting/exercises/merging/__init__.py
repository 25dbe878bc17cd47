"""The checks of lesson 02, one module an exercise."""
