"""`bitacora demo`: a whole system under an accelerated clock, and a simulated desk that works on it.

`plan` decides beforehand, from one seeded generator, who will ask for what and how each case will go ·
`people` the agents and their shifts · `texts` what people write · `simtime` waiting in simulated time ·
`api` the services' HTTP APIs, counted · `requesters` and `agents` act · `watch` a reader of the public
topics · `live` the view on a terminal · `settle` until nothing is under way any more · `summary` what
became of it · `command` puts it together
"""
