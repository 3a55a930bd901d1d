"""Do other engines read a run as Personable does? `make contracts` asks llama.cpp and vLLM."""
