"""What an archive does around storing and finding: worklist, performed steps, commitment, notification of availability.

May change.
"""
