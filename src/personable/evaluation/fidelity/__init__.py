"""Does a model stay who it is: facts recalled and contradicted, roles kept, order of facts, scripted probes."""
