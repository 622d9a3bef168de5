"""What is asked of the machine: free memory, whole-file writes, safe interrupts."""
