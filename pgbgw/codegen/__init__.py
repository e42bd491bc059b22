"""Code generation: ModuleIR -> SourceTree."""
