"""Everything that decides: greedy rules, eGLB, eGLB-Off."""
