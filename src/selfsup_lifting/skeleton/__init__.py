"""Joints, bones, left and right, root; joint orders; and what the joints of a file are."""
