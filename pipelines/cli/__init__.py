"""The generation commands, one file each; none imports an engine or torch before it runs."""
