"""OpenAI's API for Llama: what its clients send is taken, or refused with the reason."""
