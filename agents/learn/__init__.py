"""Learners: networks, the hindsight learner, stable-baselines3's, and the policies they make."""
