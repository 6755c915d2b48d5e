"""What users write down before an association: presentation contexts and negotiation items (PS3.7 Annex D).

May change.
"""
