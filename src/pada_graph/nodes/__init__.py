"""The nodes of the graph: functions of state and run that return a partial state. One file per agent of Figure 1."""
