"""The cities that the flights of 2013 went to, by the code of their airport."""

from __future__ import annotations

_LIST = """
ABQ Albuquerque|ACK Nantucket|ALB Albany|ANC Anchorage|ATL Atlanta|AUS Austin|AVL Asheville
BDL Hartford|BGR Bangor|BHM Birmingham|BNA Nashville|BOS Boston|BQN Aguadilla|BTV Burlington
BUF Buffalo|BUR Burbank|BWI Baltimore|BZN Bozeman|CAE Columbia|CAK Akron|CHO Charlottesville
CHS Charleston|CLE Cleveland|CLT Charlotte|CMH Columbus|CRW Charleston|CVG Cincinnati|DAY Dayton
DCA Washington|DEN Denver|DFW Dallas|DSM Des Moines|DTW Detroit|EGE Vail|EYW Key West
FLL Ft. Lauderdale|GRR Grand Rapids|GSO Greensboro|GSP Greenville|HDN Steamboat Spr.|HNL Honolulu
HOU Houston Hobby|IAD Washington|IAH Houston|ILM Wilmington|IND Indianapolis|JAC Jackson Hole
JAX Jacksonville|LAS Las Vegas|LAX Los Angeles|LEX Lexington|LGA LaGuardia|LGB Long Beach
MCI Kansas City|MCO Orlando|MDW Chicago Midway|MEM Memphis|MHT Manchester|MIA Miami|MKE Milwaukee
MSN Madison|MSP Minneapolis|MSY New Orleans|MTJ Montrose|MVY Martha's Vnyd|MYR Myrtle Beach
OAK Oakland|OKC Oklahoma City|OMA Omaha|ORD Chicago|ORF Norfolk|PBI Palm Beach|PDX Portland
PHL Philadelphia|PHX Phoenix|PIT Pittsburgh|PSE Ponce|PSP Palm Springs|PVD Providence
PWM Portland|RDU Raleigh|RIC Richmond|ROC Rochester|RSW Fort Myers|SAN San Diego|SAT San Antonio
SAV Savannah|SBN South Bend|SDF Louisville|SEA Seattle|SFO San Francisco|SJC San Jose|SJU San Juan
SLC Salt Lake City|SMF Sacramento|SNA Santa Ana|SRQ Sarasota|STL St. Louis|STT St. Thomas
SYR Syracuse|TPA Tampa|TUL Tulsa|TVC Traverse City|TYS Knoxville|XNA Fayetteville
"""

CITIES: dict[str, str] = {
    each[:3]: each[4:] for line in _LIST.split("\n") for each in line.split("|") if each
}
"""What a board has room for; a code that is not here stands for itself."""
