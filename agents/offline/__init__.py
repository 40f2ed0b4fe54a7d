"""eGLB-Off: the offline optimum."""
