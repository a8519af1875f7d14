"""pytest fixtures for programs that use Mainstem; loaded by pytest through its entry point."""
