"""Training of the three GANs; `toonify` never imports this package."""
