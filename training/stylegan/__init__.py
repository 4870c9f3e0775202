"""Training of StyleGAN2 and MobileStyleGAN."""
