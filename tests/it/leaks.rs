//! Nothing is left behind: tasks of every kind of end, and all that they had open.
